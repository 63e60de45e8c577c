import fs from 'node:fs';
import path from 'node:path';
import { ArgumentError, FileError } from '../native/errors.ts';
import { readJsonObject, reasonOf } from '../native/files.ts';
import { kindOf } from './check.ts';
import { quote, type TensorPart } from './tensor-file.ts';

/** A format's way with a checkpoint in several files. */
export interface ShardFormat<P> {
  /** How the files' names end, dot included. */
  readonly suffix: string;
  open(file: string): P;
  /** The format's error; `field` says where in the file. */
  fail(file: string, field: string, problem: string): Error;
}

/** The parts that an index (`….index.json`) names, and which of them holds each tensor. */
export function openShards<P extends TensorPart<unknown>>(
  index: string,
  format: ShardFormat<P>,
): { parts: P[]; owners: Map<string, P> } {
  const weightMap = readWeightMap(index, format);
  const parts = new Map<string, P>();
  try {
    for (const name of [...new Set(weightMap.values())].sort())
      parts.set(name, format.open(path.join(path.dirname(index), name)));
    const owners = new Map<string, P>();
    for (const [tensor, name] of weightMap) {
      const part = parts.get(name) as P;
      if (!part.entries.has(tensor)) {
        const problem = `expected the tensor in ${name}, which does not have it`;
        throw format.fail(index, `weight_map.${quote(tensor)}`, problem);
      }
      owners.set(tensor, part);
    }
    return { parts: [...parts.values()], owners };
  } catch (error) {
    for (const part of parts.values()) part.close();
    throw error;
  }
}

function readWeightMap(index: string, { suffix, fail }: ShardFormat<unknown>): Map<string, string> {
  const weightMap = readJsonObject(index).weight_map;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw fail(index, 'weight_map', 'expected an object of file names');
  }
  const names = new Map<string, string>();
  for (const [tensor, name] of Object.entries(weightMap)) {
    // A part's name comes from a file that anyone may have written: it must stay in the index's own folder.
    if (typeof name !== 'string' || !/^[^/\\\0]+$/.test(name) || !name.endsWith(suffix) || name === suffix) {
      const came = quote(typeof name === 'string' ? name : (JSON.stringify(name) ?? 'nothing'));
      throw fail(index, `weight_map.${quote(tensor)}`, `expected the name of a ${suffix} file beside it but received ${came}`);
    }
    names.set(tensor, name);
  }
  return names;
}

/**
 * The file itself, or the first of `names` that is in it where it is a folder.
 * @throws FileError where there is none
 */
export function locate(source: string, names: readonly string[]): string {
  if (typeof source !== 'string' || source === '')
    throw new ArgumentError('source', 'the path of a file or folder', kindOf(source));
  if (!isFolder(source)) return source;
  const found = names.map((name) => path.join(source, name)).find((file) => fs.existsSync(file));
  if (found === undefined) throw new FileError(source, `expected ${listOf(names)} in the folder`);
  return found;
}

function listOf(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

function isFolder(source: string): boolean {
  try {
    return fs.statSync(source).isDirectory();
  } catch (error) {
    throw new FileError(source, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}
