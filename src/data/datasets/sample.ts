import type { Json } from '../../native/files.ts';

/** Where a picture's bytes lie: a whole file, or a part of one. */
export interface ImageLocation {
  /** The file's path. */
  readonly file: string;
  /** For a part: its first byte, and how many there are. */
  readonly offset?: number;
  /** For a part: its length in bytes. */
  readonly size?: number;
  /** What to call it in errors. */
  readonly name: string;
}

/** A picture with what it is said to show. */
export interface Sample {
  /** Its name, unique in its data set: it names the sample in errors and decides, with the seed, how its picture is cropped. */
  readonly key: string;
  /** Where the picture's bytes are; nothing is read before a batch needs it. */
  readonly image: ImageLocation;
  /** One caption, or all of the picture's where the data set was opened with `grouped`. */
  readonly captions: readonly string[];
  /** Samples of the same picture have the same. */
  readonly imageId: number | string;
}

/** A sample that cannot be used, and why. */
export interface BrokenSample {
  /** The sample's name, or the place in a file where one should have been. */
  readonly key: string;
  /** What is wrong, in a sentence. */
  readonly problem: string;
}

/** What a data set has in a sample's place. */
export type Entry = Sample | BrokenSample;

/** Whether an entry is one that cannot be used. */
export function isBroken(entry: Entry): entry is BrokenSample {
  return 'problem' in entry;
}

/** An entry as a stream gives it: with the number of times that the stream has begun the data set before. */
export interface Drawn {
  /** The sample, or what is there in its place. */
  readonly entry: Entry;
  /** From 0. */
  readonly epoch: number;
}

/** Options of a data set's {@link Dataset.stream}. */
export interface StreamOptions {
  /** Decides the order. */
  seed: number;
  /** Draw in a random order, another one each epoch; otherwise in the data set's own. */
  shuffle: boolean;
  /** How often to go through the data set; Infinity for without end. */
  epochs: number;
  /** A position of a stream with the same options, to go on from there. */
  from?: Json | undefined;
}

/** Pictures and captions to draw from. */
export interface Dataset {
  /** What to call it in errors and logs. */
  readonly name: string;
  /** How many samples there are, where that is known without reading all of them. */
  readonly length: number | undefined;
  /** What tells it from others of the same name and length, such as its tars' names and sizes; a cache of features is named by it, too. */
  readonly fingerprint?: string | undefined;
  /** Its samples in the order that the seed gives. The same options give the same samples. */
  stream(options: StreamOptions): SampleStream;
}

/** Samples one after another. */
export interface SampleStream {
  /** The next one; undefined at the end. Not to be called again before it has settled. Where it throws, it has closed the files. */
  next(): Promise<Drawn | undefined>;
  /**
   * Marks where the stream is. What it returns gives the position as JSON, for {@link StreamOptions.from}, also later on; so marks cost little and
   * can be made often.
   */
  mark(): () => Json;
  /** Closes the files that are open. The stream gives nothing more. */
  close(): Promise<void>;
}

/** How many samples a picture with several captions makes. */
export interface GroupingOptions {
  /** A picture comes once, with all its captions, instead of once a caption: for evaluation. */
  grouped?: boolean;
}
