import path from 'node:path';
import { FileError } from '../../native/errors.ts';
import { describe, imageEndings, MAX_TEXT_BYTES, splitName, textEndings } from './pairing.ts';
import { oneEach } from './records.ts';
import type { Entry, Sample } from './sample.ts';
import { TarError, type TarMember, type TarReader } from './tar.ts';

/** The samples that a tar holds at one place. */
export interface Group {
  readonly entries: readonly Entry[];
  /** Where the next group's first header is; undefined where the tar is not read on. */
  readonly next: number | undefined;
}

const MAX_IMAGE_BYTES = 2 ** 28;

/**
 * Reads the members that make the sample at `position`: those that follow one another and have one name but for the ending. Undefined at
 * the tar's end.
 *
 * @throws TarError
 */
export async function groupAt(reader: TarReader, position: number, grouped: boolean): Promise<Group | undefined> {
  const members = new Map<string, TarMember>();
  let key: string | undefined;
  let twice: string | undefined;
  let at = position;
  for (;;) {
    const member = await memberAfter(reader, at, members.size > 0);
    if (member === undefined) break;
    const split = splitName(member.name);
    if (split !== undefined) {
      key ??= split.key;
      if (split.key !== key) break;
      if (members.has(split.ending)) twice = member.name;
      else if (imageEndings.includes(split.ending) || textEndings.includes(split.ending)) members.set(split.ending, member);
    }
    at = member.next;
  }
  if (key === undefined) return undefined;
  const name = `${path.basename(reader.file)}/${key}`;
  try {
    if (twice !== undefined) throw new FileError(`${reader.file}: ${twice}`, 'comes twice in one sample');
    const picture = await pictureOf(reader, key, name, members);
    return { entries: grouped ? [picture] : [...oneEach(picture)], next: at };
  } catch (error) {
    // A TarError is about the whole tar, any other about this sample.
    if (error instanceof TarError || !(error instanceof FileError)) throw error;
    return { entries: [{ key: name, problem: error.message }], next: at };
  }
}

/** The next member. What is wrong with it is of no concern to a group that has members already, and comes up again when the next one is read. */
async function memberAfter(reader: TarReader, at: number, begun: boolean): Promise<TarMember | undefined> {
  try {
    return await reader.member(at);
  } catch (error) {
    if (begun && error instanceof TarError) return undefined;
    throw error;
  }
}

async function pictureOf(reader: TarReader, key: string, name: string, members: ReadonlyMap<string, TarMember>): Promise<Sample> {
  const image = imageEndings.map((ending) => members.get(ending)).find((member) => member !== undefined);
  const imageName = `${reader.file}: ${image?.name ?? key}`;
  if (image === undefined) throw new FileError(imageName, `has no picture (${imageEndings.join(', ')})`);
  if (image.size > MAX_IMAGE_BYTES) {
    throw new FileError(imageName, `expected at most ${MAX_IMAGE_BYTES} bytes but it has ${image.size}`);
  }
  const read = (ending: string): Promise<Uint8Array> | undefined => {
    const member = members.get(ending);
    return member === undefined ? undefined : reader.read(member, MAX_TEXT_BYTES);
  };
  const text = await read('txt');
  const { captions, imageId = name } = describe(`${reader.file}: ${key}`, text, await read('json'));
  return {
    key: name,
    image: { file: reader.file, offset: image.offset, size: image.size, name: imageName },
    captions,
    imageId,
  };
}
