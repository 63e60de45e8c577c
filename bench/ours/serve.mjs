// One side of a row: prepares, says so, and runs as often as it is told. JSON lines on stdin and stdout, as in peer/serve.py.
import { createInterface } from 'node:readline';
import { setThreads } from 'blip2';

/** `prepare` takes the row's settings and gives what runs n times (and returns the work done, if not n), and facts to compare. */
export async function serve(prepare) {
  const settings = JSON.parse(process.argv[2]);
  setThreads(settings.threads);
  const { run, facts } = await prepare(settings);
  console.log(JSON.stringify({ ready: true, facts }));
  for await (const line of createInterface({ input: process.stdin })) {
    const { iterations } = JSON.parse(line);
    const [start, busy] = [process.hrtime.bigint(), process.cpuUsage()];
    const work = (await run(iterations)) ?? iterations;
    const { user, system } = process.cpuUsage(busy);
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, work }));
  }
}
