/* Stands in for libnvidia-ml.so.1: GPUs that a test sets up and breaks, below the agent's own
   binding. Signatures and structures are written down from NVIDIA's nvml.h (CUDA 12.2), not from the
   binding. With -DOLD it is a driver of before energy, MIG, and the second version of anything.

   It begins with STAND_IN_GPUS cards (8) that are rented and busy: what the benchmark measures. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, NOT_LOADED = 9,
       TIMEOUT = 10, GPU_IS_LOST = 15, UNKNOWN = 999 };

/* A card, or with a parent an instance of one. tests/agents/nvml.py has the same layout. */
typedef struct gpu {
  char uuid[96];
  int parent;   /* -1: a card; -2: not enumerated */
  int mig;      /* -1: not supported */
  unsigned percent, processes;
  int no_ecc, lost;
  int no_handle, no_busy, no_processes; /* calls that fail */
  unsigned long long energy, energy_step, ecc, used;
} *nvmlDevice_t;

struct gpu gpus[64];
int size, fails, inits;
volatile int hangs;
unsigned events[64], waiting;

typedef void *nvmlEventSet_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct {
  unsigned int pid;
  unsigned long long usedGpuMemory;
  unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;
typedef struct {
  nvmlDevice_t device;
  unsigned long long eventType, eventData;
  unsigned int gpuInstanceId, computeInstanceId;
} nvmlEventData_t;

#ifdef OLD
#define NEWEST(name) name
#else
#define NEWEST(name) name##_v2
#endif

__attribute__((constructor)) static void rented(void) {
  const char *wanted = getenv("STAND_IN_GPUS");
  size = wanted ? atoi(wanted) : 8;
  for (int i = 0; i < size; i++) {
    struct gpu *card = &gpus[i];
    snprintf(card->uuid, sizeof card->uuid, "GPU-5a0e3f10-77aa-4c0d-9d55-0000000000%02d", i);
    card->parent = -1;
    card->percent = 80 + i;
    card->processes = 1;
    card->energy_step = 300000;
    card->used = 16ULL << 30;
  }
}

static nvmlReturn_t answer(void) {
  while (hangs) usleep(1000);
  return fails ? NOT_LOADED : SUCCESS;
}

static struct gpu *child(int parent, unsigned index) {
  for (int i = 0; i < size; i++)
    if (gpus[i].parent == parent && index-- == 0) return &gpus[i];
  return NULL;
}

const char *nvmlErrorString(nvmlReturn_t code) {
  switch (code) {
  case NOT_SUPPORTED: return "Not Supported";
  case NOT_LOADED: return "Driver Not Loaded";
  case GPU_IS_LOST: return "GPU is lost";
  default: return "Unknown Error";
  }
}

nvmlReturn_t NEWEST(nvmlInit)(void) { inits++; return answer(); }
nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }

nvmlReturn_t NEWEST(nvmlDeviceGetCount)(unsigned int *count) {
  for (*count = 0; child(-1, *count); ++*count) {}
  return answer();
}

nvmlReturn_t NEWEST(nvmlDeviceGetHandleByIndex)(unsigned int index, nvmlDevice_t *device) {
  *device = child(-1, index);
  if (!*device) return NOT_FOUND;
  return (*device)->no_handle ? UNKNOWN : answer();
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
  if (strlen(device->uuid) >= length) return INSUFFICIENT_SIZE;
  strcpy(uuid, device->uuid);
  return answer();
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
  utilization->gpu = device->percent;
  utilization->memory = 50;
  return device->no_busy ? UNKNOWN : answer();
}

#ifdef OLD
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses
#else
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3
#endif
    (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos) {
  unsigned room = *infoCount;
  if (device->no_processes) return UNKNOWN;
  *infoCount = device->processes;
  if (room < device->processes) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < device->processes; i++) infos[i] = (nvmlProcessInfo_t){4711 + i};
  return answer();
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  if (device->lost) return GPU_IS_LOST;
  memory->total = 80ULL << 30;
  memory->used = device->used;
  memory->free = memory->total - memory->used;
  return answer();
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int errorType, int counterType,
                                         unsigned long long *eccCounts) {
  if (device->no_ecc) return NOT_SUPPORTED;
  *eccCounts = errorType == 1 && counterType == 0 ? device->ecc : 99; /* uncorrected, volatile */
  return answer();
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) { *set = events; return SUCCESS; }

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long eventTypes,
                                      nvmlEventSet_t set) {
  return eventTypes == 8 && set == events ? SUCCESS : UNKNOWN; /* nvmlEventTypeXidCriticalError */
}

nvmlReturn_t NEWEST(nvmlEventSetWait)(nvmlEventSet_t set, nvmlEventData_t *data,
                                      unsigned int timeoutms) {
  if (set != events || timeoutms) return UNKNOWN;
  if (!waiting) return TIMEOUT;
  data->device = &gpus[events[--waiting]];
  data->eventType = 8;
  data->eventData = 79; /* fallen off the bus */
#ifndef OLD
  data->gpuInstanceId = data->computeInstanceId = 0xffffffff;
#endif
  return SUCCESS;
}

#ifndef OLD
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy) {
  *energy = device->energy += device->energy_step;
  return answer();
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current,
                                  unsigned int *pending) {
  if (device->mig < 0) return NOT_SUPPORTED;
  *current = *pending = device->mig;
  return answer();
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
  *count = 7;
  return answer();
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index,
                                                 nvmlDevice_t *instance) {
  *instance = child(device - gpus, index);
  return *instance ? answer() : NOT_FOUND;
}
#endif
