import type { Log } from './build.ts';

export function doctor(log: Log): boolean {
  log('');
  return true;
}
