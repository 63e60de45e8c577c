// A process that does nothing but watch how late its own event loop is: what a busy machine does to any process.
import { monitorEventLoopDelay } from 'node:perf_hooks';

let lag;
process.on('message', (what) => {
  if (what === 'start') {
    lag = monitorEventLoopDelay({ resolution: 5 });
    lag.enable();
    process.send('started');
  } else {
    lag.disable();
    process.send(lag.max / 1e6);
  }
});
