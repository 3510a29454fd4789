/* Stands in for libnvidia-ml.so.1: eight GPUs that are rented and busy. The calls that the agent
   makes through pynvml, with NVML's own signatures. Built by benchmarks/agent.py. */

#include <stdio.h>

typedef struct { unsigned gpu, memory; } rates;
typedef struct { unsigned pid; unsigned long long memory; unsigned a, b; } process;

typedef struct { unsigned long long total, free, used; } memory;

static long cards[8];
static unsigned long long energy;

int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "stand-in"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 8; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card) {
  *card = &cards[index];
  return 0;
}
int nvmlDeviceGetUUID(void *card, char *text, unsigned size) {
  snprintf(text, size, "GPU-5a0e3f10-77aa-4c0d-9d55-0000000000%02d", (int)((long *)card - cards));
  return 0;
}
int nvmlDeviceGetUtilizationRates(void *card, rates *found) {
  found->gpu = 80 + (unsigned)((long *)card - cards);
  found->memory = 50;
  return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *card, unsigned *count, process *found) {
  if (*count < 1) {
    *count = 1;
    return 7; /* NVML_ERROR_INSUFFICIENT_SIZE: ask again with room */
  }
  *count = 1;
  found->pid = 4711;
  found->memory = 1ULL << 34;
  return 0;
}
int nvmlDeviceGetMigMode(void *card, unsigned *current, unsigned *pending) {
  *current = *pending = 0;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void *card, memory *found) {
  found->total = 80ULL << 30;
  found->used = 16ULL << 30;
  found->free = found->total - found->used;
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *card, unsigned long long *mj) {
  *mj = energy += 300000;
  return 0;
}
int nvmlDeviceGetTotalEccErrors(void *card, int kind, int counter, unsigned long long *count) {
  *count = 0;
  return 0;
}
int nvmlEventSetCreate(void **set) { *set = &cards; return 0; }
int nvmlEventSetFree(void *set) { return 0; }
int nvmlDeviceRegisterEvents(void *card, unsigned long long kinds, void *set) { return 0; }
int nvmlEventSetWait_v2(void *set, void *found, unsigned ms) {
  return 10; /* NVML_ERROR_TIMEOUT: nothing happened */
}
