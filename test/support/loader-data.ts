import fs from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { randomStream } from '../../src/data/random.ts';
import { tarMember, tarOf } from './tar.ts';

/**
 * Pictures with captions, in a folder: in `all.jsonl`, in four tars in `tars/`, and with four broken ones among them in `some-broken.jsonl`.
 * Gives the pictures' files.
 */
export async function writePictures(folder: string, count: number): Promise<Buffer[]> {
  const pictures: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const random = randomStream('picture', i);
    const [width, height] = [30 + Math.floor(random() * 40), 30 + Math.floor(random() * 40)];
    const raw = Buffer.from(
      Array.from({ length: width * height * 3 }, (_, k) => 128 + 100 * Math.sin(k / 50 + i) + 20 * random()),
    );
    const picture = sharp(raw, { raw: { width, height, channels: 3 } });
    pictures.push(await (i % 3 === 0 ? picture.png() : picture.jpeg({ quality: 90 })).toBuffer());
  }
  fs.writeFileSync(
    path.join(folder, 'all.jsonl'),
    pictures
      .map((bytes, i) => {
        fs.writeFileSync(path.join(folder, `${i}.img`), bytes);
        return JSON.stringify({ image: `${i}.img`, caption: `Picture ${i}!`, image_id: i });
      })
      .join('\n'),
  );
  for (let shard = 0; shard < 4; shard++) {
    const members = Array.from({ length: count / 4 }, (_, k) => shard * (count / 4) + k).flatMap((i) => [
      tarMember(`${i}.${i % 3 === 0 ? 'png' : 'jpg'}`, pictures[i]),
      tarMember(`${i}.txt`, `picture ${i} of a tar`),
    ]);
    fs.mkdirSync(path.join(folder, 'tars'), { recursive: true });
    fs.writeFileSync(path.join(folder, 'tars', `${shard}.tar`), tarOf(...members));
  }
  // The same as the lines, with four broken ones of 44.
  fs.writeFileSync(path.join(folder, 'cut.img'), (pictures[1] as Buffer).subarray(0, 60));
  fs.writeFileSync(path.join(folder, 'text.img'), 'no picture');
  const broken = ['cut.img', 'text.img', 'absent.img'].map((image) => JSON.stringify({ image, caption: 'x' }));
  const lines = fs.readFileSync(path.join(folder, 'all.jsonl'), 'utf8').split('\n');
  const empty = JSON.stringify({ image: '0.img', caption: ' .!. ' });
  lines.splice(3, 0, broken[0] as string);
  lines.splice(8, 0, broken[1] as string, broken[2] as string);
  fs.writeFileSync(path.join(folder, 'some-broken.jsonl'), [...lines, empty].join('\n'));
  return pictures;
}
