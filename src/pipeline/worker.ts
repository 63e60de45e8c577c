// The thread that holds a model: loads it, says so, and answers calls until told to close.
import { parentPort, workerData } from 'node:worker_threads';
import { setThreads } from '../tensor/index.ts';
import { packError } from './errors.ts';
import { generativeService } from './generative-service.ts';
import type { Reply, WorkerSettings } from './protocol.ts';
import { retrievalService } from './retrieval-service.ts';
import { type Service, serve } from './serve.ts';

const port = parentPort;
if (port === null) throw new Error('this file is started as a worker thread');
const settings = workerData as WorkerSettings;

const services: Record<WorkerSettings['kind'], (settings: WorkerSettings) => Service> = {
  generative: generativeService,
  retrieval: retrievalService,
};

try {
  if (settings.threads !== undefined) setThreads(settings.threads);
  const service = services[settings.kind](settings);
  serve(port, service);
  port.postMessage({ type: 'ready', facts: service.facts } satisfies Reply);
} catch (error) {
  port.postMessage({ type: 'failed', error: packError(error) } satisfies Reply);
  port.close();
}
