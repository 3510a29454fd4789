{{- /* What all pods share: names, settings, secrets as files, few rights. */ -}}
{{- define "rackmeter.labels" -}}
app.kubernetes.io/name: rackmeter
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "rackmeter.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "rackmeter.sasl" -}}
{{- if hasPrefix "SASL" .Values.kafka.securityProtocol }}yes{{ end -}}
{{- end }}

{{- /* root, component, login, command, env, mounts, resources, probes; one container. */ -}}
{{- define "rackmeter.container" -}}
name: {{ .name | default .component }}
image: {{ include "rackmeter.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .command }}
env:
  - { name: RACKMETER_ENVIRONMENT, value: {{ .root.Values.environment | quote }} }
  - name: RACKMETER_DATABASE_URL
    valueFrom: { secretKeyRef: { name: {{ .root.Values.database.existingSecret }}, key: {{ .login }} } }
  - { name: RACKMETER_KAFKA_BOOTSTRAP, value: {{ .root.Values.kafka.bootstrap | quote }} }
  - { name: RACKMETER_KAFKA_SECURITY_PROTOCOL, value: {{ .root.Values.kafka.securityProtocol }} }
  - { name: RACKMETER_PARTITIONS, value: {{ .root.Values.kafka.partitions | quote }} }
  {{- if include "rackmeter.sasl" .root }}
  - { name: RACKMETER_KAFKA_SASL_MECHANISM, value: {{ .root.Values.kafka.saslMechanism }} }
  - { name: RACKMETER_KAFKA_USERNAME, value: {{ .root.Values.kafka.username | quote }} }
  - { name: RACKMETER_KAFKA_PASSWORD_FILE, value: /secrets/kafka/password }
  {{- end }}
  {{- if .root.Values.kafka.caConfigMap }}
  - { name: RACKMETER_KAFKA_CA_FILE, value: /etc/kafka/ca.pem }
  {{- end }}
  - { name: RACKMETER_MASTER_KEY_FILE, value: /secrets/master/master.key }
  {{- range $name, $value := .env }}
  - { name: {{ $name }}, value: {{ $value | quote }} }
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
resources: {{ toJson .resources }}
volumeMounts:
  - { name: work, mountPath: /var/lib/rackmeter }
  - { name: work, mountPath: /tmp, subPath: tmp }
  - { name: master, mountPath: /secrets/master, readOnly: true }
  {{- if include "rackmeter.sasl" .root }}
  - { name: kafka, mountPath: /secrets/kafka, readOnly: true }
  {{- end }}
  {{- if .root.Values.kafka.caConfigMap }}
  - { name: kafka-ca, mountPath: /etc/kafka, readOnly: true }
  {{- end }}
  {{- if .state }}
  - { name: state, mountPath: /state }
  {{- end }}
  {{- if .tls }}
  - { name: tls, mountPath: /secrets/tls, readOnly: true }
  {{- end }}
{{- end }}

{{- define "rackmeter.pod" -}}
serviceAccountName: {{ .root.Release.Name }}-rackmeter
automountServiceAccountToken: false
# They would be variables RACKMETER_…, which are settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
volumes:
  - { name: work, emptyDir: { sizeLimit: 256Mi } }
  - name: master
    secret: { secretName: {{ .root.Values.masterKey.existingSecret }}, defaultMode: 0440 }
  {{- if include "rackmeter.sasl" .root }}
  - name: kafka
    secret: { secretName: {{ .root.Values.kafka.existingSecret }}, defaultMode: 0440 }
  {{- end }}
  {{- with .root.Values.kafka.caConfigMap }}
  - { name: kafka-ca, configMap: { name: {{ . }} } }
  {{- end }}
  {{- if .state }}
  - name: state
    persistentVolumeClaim: { claimName: {{ .root.Values.state.existingClaim | default (printf "%s-rackmeter-state" .root.Release.Name) }} }
  {{- end }}
  {{- if .tls }}
  - { name: tls, secret: { secretName: {{ .tls }}, defaultMode: 0440 } }
  {{- end }}
{{- end }}
