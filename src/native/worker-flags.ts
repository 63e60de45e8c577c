/**
 * The flags of node for a worker thread that runs a file: this process's (undefined), unless it runs code given on the command line, whose
 * `--input-type` a file refuses; V8's flags, which a worker refuses to be given, hold for all threads anyway.
 */
export function workerFlags(): { execArgv?: string[] } {
  return process.execArgv.some((flag) => flag.startsWith('--input-type')) ? { execArgv: [] } : {};
}
