import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A training run in a process of its own. */
export interface ChildRun {
  readonly child: ChildProcess;
  readonly directory: string;
  readonly ended: Promise<{ code: number | null; signal: string | null; out: string; err: string }>;
}

/** Starts a script of test/integration with a run's folder and further arguments. */
export function startRun(script: string, directory: string, rest: readonly string[]): ChildRun {
  fs.mkdirSync(directory, { recursive: true });
  const file = path.join(import.meta.dirname, '../integration', script);
  const child = spawn(process.execPath, [file, directory, ...rest]);
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk) => (text.out += chunk));
  child.stderr.on('data', (chunk) => (text.err += chunk));
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...text }));
  return { child, directory, ended };
}

/** Waits until a step was logged, or the run is over. */
export async function reached({ child, directory }: ChildRun, step: number): Promise<void> {
  while (lastLogged(directory) < step && child.exitCode === null) await sleep(2);
}

function lastLogged(directory: string): number {
  const file = path.join(directory, 'log.jsonl');
  const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
  const steps = lines.flatMap((line) => (JSON.parse(line) as { step?: number }).step ?? []);
  return steps.at(-1) ?? 0;
}

/** All of the last checkpoint, file by file. */
export function lastCheckpoint(directory: string): Record<string, string> {
  const folder = path.join(directory, 'checkpoints', fs.readdirSync(path.join(directory, 'checkpoints')).sort().at(-1) as string);
  return Object.fromEntries(
    fs.readdirSync(folder).map((name) => [name, fs.readFileSync(path.join(folder, name)).toString('base64')]),
  );
}

/** The losses of every step. */
export function loggedLosses(directory: string): unknown[] {
  const lines = fs.readFileSync(path.join(directory, 'log.jsonl'), 'utf8').trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as { type: string; step: number; losses: unknown })
    .flatMap(({ type, step, losses }) => (type === 'step' ? [[step, losses]] : []));
}
