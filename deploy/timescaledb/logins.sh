#!/bin/sh
# Run once, by the image, when the database is empty: a login for each process, none of them owner.
# The groups get their rights from `rackmeter db migrate`; here they only come to be.
set -eu

login() { # LOGIN GROUP
  psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
    -v login="$1" -v group="$2" -v password="$(cat "/run/secrets/db_$1")" <<'SQL'
SELECT format('CREATE ROLE %I NOLOGIN', :'group')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'group') \gexec
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L IN ROLE %I', :'login', :'password', :'group') \gexec
SQL
}

login worker rackmeter_writer
login api rackmeter_writer
login invoicer rackmeter_invoicer
login grafana rackmeter_reader
