import { CommanderError } from 'commander';
import { Blip2Error } from '../native/errors.ts';
import { flagMessage } from './flags.ts';

/** What the process ends with, as shells have it. */
export const exitCodes = { done: 0, failed: 1, usage: 2, SIGINT: 130, SIGPIPE: 141, SIGTERM: 143 } as const;

/** A wrong call, found by a command itself. */
export class UsageError extends Error {}

/** A command was ended by a signal before it was done. */
class SignalError extends Error {
  readonly signal: 'SIGINT' | 'SIGTERM';

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(signal);
    this.signal = signal;
  }
}

/** Runs what can be aborted until a signal comes. A second one ends the process at once. */
export async function untilSignal<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let came: 'SIGINT' | 'SIGTERM' | undefined;
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((name) => {
    const listener = (): void => {
      came = name;
      controller.abort();
    };
    process.once(name, listener);
    return () => process.removeListener(name, listener);
  });
  try {
    return await body(controller.signal);
  } catch (error) {
    throw came === undefined ? error : new SignalError(came);
  } finally {
    for (const remove of listeners) remove();
  }
}

/** A line for whoever, or whatever, reads the result. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A line for a person, on standard error. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Tells of an error that was meant for people, and gives the exit code. Any other is a mistake of this package, and thrown again. */
export function reported(error: unknown): number {
  // Commander has said it already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  if (error instanceof SignalError) {
    note(`blip2: ended by ${error.signal}`);
    return exitCodes[error.signal];
  }
  const usage = error instanceof UsageError ? error.message : flagMessage(error);
  if (usage !== undefined) {
    note(`blip2: ${usage}`);
    return exitCodes.usage;
  }
  if (!(error instanceof Blip2Error)) throw error;
  note(`blip2: ${error.message}`);
  return exitCodes.failed;
}
