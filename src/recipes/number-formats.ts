import { hasFastBfloat16 } from '../native/bfloat16.ts';
import type { Device } from '../tensor/index.ts';

/** Number formats that nobody told, as the device makes them. */
interface ChosenFormats<N extends string> {
  /** float32 for each; none where the recipe's own are right. */
  readonly formats: { readonly [K in N]?: 'float32' };
  /** What was chosen and why, for the logs; null where nothing was. */
  readonly remark: string | null;
}

/**
 * The paper's recipes have bfloat16, which is slow on most processors: there a run is in float32 unless it is told otherwise.
 *
 * @param names of the fields that are number formats
 * @param told the recipe's fields as they are given
 * @param fast whether the device is fast in bfloat16
 */
export function chosenFormats<N extends string>(
  names: readonly N[],
  told: object,
  device: Device,
  fast = hasFastBfloat16(device),
): ChosenFormats<N> {
  const open = names.filter((name) => (told as Readonly<Record<string, unknown>>)[name] === undefined);
  if (fast || open.length === 0) return { formats: {} as Record<N, 'float32'>, remark: null };
  const formats = Object.fromEntries(open.map((name) => [name, 'float32'])) as Record<N, 'float32'>;
  return { formats, remark: `${open.join(', ')}: float32, as this ${device} is not fast in bfloat16` };
}
