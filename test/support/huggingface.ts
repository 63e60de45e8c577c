import type { GenerateOptions } from '../../src/index.ts';

/** Options as Hugging Face names them, in camelCase. */
export function camelCase(options: Readonly<Record<string, unknown>>): GenerateOptions {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()), value]),
  );
}
