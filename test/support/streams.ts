import type { BrokenSample, Dataset, Drawn, Sample, SampleStream, StreamOptions } from '../../src/index.ts';

/** A stream's entries to its end, or the first `limit` of them. */
export async function drain(stream: SampleStream, limit = Number.POSITIVE_INFINITY): Promise<Drawn[]> {
  const all: Drawn[] = [];
  while (all.length < limit) {
    const drawn = await stream.next();
    if (drawn === undefined) break;
    all.push(drawn);
  }
  return all;
}

/** A data set's samples and broken samples, once through in order unless told. */
export async function entriesOf(dataset: Dataset, options: Partial<StreamOptions> = {}): Promise<(Sample | BrokenSample)[]> {
  const stream = dataset.stream({ seed: 0, shuffle: false, epochs: 1, ...options });
  try {
    return (await drain(stream)).map(({ entry }) => entry);
  } finally {
    await stream.close();
  }
}

/** Only the samples. */
export async function samplesOf(dataset: Dataset, options: Partial<StreamOptions> = {}): Promise<Sample[]> {
  return (await entriesOf(dataset, options)).filter((entry) => !('problem' in entry)) as Sample[];
}
