import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { type Device, describe } from './base.ts';
import { checkBody, checkDone, checkOptions } from './check.ts';
import { native } from './dispatch.ts';
import { type Dtype, dtypeCode } from './dtype.ts';

/** The result, unless what made it would go on after the mode has ended. */
function done<T>(result: T): T {
  checkDone(result);
  return result;
}

/** Runs `body` without recording a graph of gradients. */
export function noGrad<T>(body: () => T): T {
  return withGradMode(false, body);
}

/** Runs `body` with gradients recorded, also inside {@link noGrad}. */
export function enableGrad<T>(body: () => T): T {
  return withGradMode(true, body);
}

function withGradMode<T>(enabled: boolean, body: () => T): T {
  checkBody(body);
  const before = addon.setGradMode(enabled);
  try {
    return done(body());
  } finally {
    addon.setGradMode(before);
  }
}

/** Whether operators record a graph of gradients now. */
export function isGradEnabled(): boolean {
  return addon.gradModeEnabled();
}

/** Like {@link noGrad}, and cheaper still; the tensors made in it can never take part in a graph of gradients. */
export function inferenceMode<T>(body: () => T): T {
  checkBody(body);
  const before = addon.setInferenceMode(true);
  try {
    return done(body());
  } finally {
    addon.setInferenceMode(before);
  }
}

let autocasting: Dtype | null = null;

/** The dtype of matrix products where this runs within {@link autocast}, or else null. @internal */
export function autocastDtype(): Dtype | null {
  return autocasting;
}

const CASTS: readonly Dtype[] = ['bfloat16', 'float16', 'float32'];

/**
 * Runs `body` with PyTorch's autocast: matrix products in `dtype` (bfloat16, float16 or float32), what needs range or precision in
 * float32.
 */
export function autocast<T>(options: { device?: Device; dtype: Dtype }, body: () => T): T {
  checkOptions(options);
  checkBody(body);
  if (!CASTS.includes(options.dtype)) throw new ArgumentError('dtype', CASTS.join(', '), describe(options.dtype));
  const device = options.device ?? 'cpu';
  const before = native(() => addon.setAutocast(device, dtypeCode(options.dtype)));
  const outer = autocasting;
  autocasting = options.dtype;
  try {
    return done(body());
  } finally {
    autocasting = outer;
    addon.setAutocast(device, before);
  }
}

/** Runs `body` with matrix products in float32, also inside {@link autocast}; without autocast nothing changes but for half precision. */
export function inFloat32<T>(device: Device, body: () => T): T {
  return autocast({ device, dtype: 'float32' }, body);
}

/** Runs `body` without autocast, also inside {@link autocast}: every product in the number format of its tensors. */
export function withoutAutocast<T>(device: Device, body: () => T): T {
  checkBody(body);
  const before = native(() => addon.setAutocast(device, null));
  const outer = autocasting;
  autocasting = null;
  try {
    return done(body());
  } finally {
    autocasting = outer;
    if (before !== null) addon.setAutocast(device, before);
  }
}
