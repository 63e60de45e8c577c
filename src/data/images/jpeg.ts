/** A picture's size, as it is stored. */
export interface StoredSize {
  readonly height: number;
  readonly width: number;
  /** Whether there is Exif data, which may say that the picture is to be turned. */
  readonly exif: boolean;
}

/**
 * The size in a JPEG's frame header (ITU-T T.81, B.2.2), which takes a few steps from marker to marker and spares asking the decoder.
 * Undefined for what is not laid out as usual: the decoder may make something of it.
 */
export function jpegSize(bytes: Uint8Array): StoredSize | undefined {
  const at = (i: number): number => bytes[i] ?? 0;
  const word = (i: number): number => (at(i) << 8) | at(i + 1);
  if (word(0) !== 0xffd8) return undefined;
  let exif = false;
  for (let i = 2; i + 9 < bytes.length; ) {
    const marker = word(i);
    const isFrame = marker >= 0xffc0 && marker <= 0xffcf && marker !== 0xffc4 && marker !== 0xffc8 && marker !== 0xffcc;
    if (isFrame) return { height: word(i + 5), width: word(i + 7), exif };
    const isSegment =
      marker === 0xffdb || marker === 0xffc4 || marker === 0xffdd || marker === 0xfffe || (marker & 0xfff0) === 0xffe0;
    if (!isSegment) return undefined;
    exif ||= marker === 0xffe1;
    i += 2 + word(i + 2);
  }
  return undefined;
}
