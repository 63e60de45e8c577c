import type { Tensor } from './tensor.ts';

/** The text of a tensor. */
export function format(tensor: Tensor): string {
  return `tensor(${JSON.stringify(tensor.toArray())})`;
}
