import { Tensor } from '../tensor/index.ts';

/** The tensors in a value (in arrays, maps and the fields of objects, however deep), each once and with the path to it. */
export function tensorsIn(value: unknown, path: string): [path: string, tensor: Tensor][] {
  const found: [string, Tensor][] = [];
  const seen = new Set<object>();
  const visit = (part: unknown, at: string): void => {
    if (typeof part !== 'object' || part === null || ArrayBuffer.isView(part) || seen.has(part)) return;
    seen.add(part);
    if (part instanceof Tensor) {
      if (!part.isFreed) found.push([at, part]);
    } else if (Array.isArray(part)) for (const [i, element] of part.entries()) visit(element, `${at}[${i}]`);
    else if (part instanceof Map) for (const [key, element] of part) visit(element, `${at}[${String(key)}]`);
    else for (const [key, element] of Object.entries(part)) visit(element, at === '' ? key : `${at}.${key}`);
  };
  visit(value, path);
  return found;
}
