import { spawn } from 'node:child_process';

/** How a child process ended, and all that it printed. */
export interface Ended {
  /** Its exit status, or the name of the signal, or why it could not be started. */
  readonly status: number | string;
  readonly output: string;
}

/** Runs a program to its end; `onOutput` is told what came last and all that came. It does not outlive this process's interruption. */
export function runChild(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv },
  onOutput: (last: string, all: string) => void,
): Promise<Ended> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const take = (chunk: Buffer): void => {
    output += chunk.toString();
    onOutput(chunk.toString(), output);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const interrupt = (signal: NodeJS.Signals): void => {
    child.kill(signal);
    process.exit(1);
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  return new Promise((resolve) => {
    const end = (status: number | string): void => {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
      resolve({ status, output });
    };
    child.on('error', (error) => end(error.message));
    child.on('close', (code, signal) => end(code ?? signal ?? 'gone'));
  });
}

/** The last lines of what a child printed. */
export function lastLines(output: string, count: number): string {
  return output.trimEnd().split('\n').slice(-count).join('\n');
}
