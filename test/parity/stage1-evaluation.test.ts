import path from 'node:path';
import { ArgumentError, arange, cat, inferenceMode, loadSafetensors, scope, setThreads, type Tensor } from '../../src/index.ts';
import { expectClose } from '../closeness.ts';
import { buildGolden, type GoldenConfig, golden, readJson } from '../support/stage1.ts';

setThreads(1); // models this small only wait for each other's threads

// What retrieval asks of the first stage's model, against LAVIS's intermediate results.

describe.each(['stage1-plain', 'stage1-image-ids'])('%s', (name) => {
  const folder = golden(name);
  const model = buildGolden(readJson<GoldenConfig>(folder, 'config.json'), path.join(folder, 'weights.safetensors'));
  const io = loadSafetensors(path.join(folder, 'batch.safetensors'));
  const value = (key: string): Tensor => io.get(key) as Tensor;
  const [pictures, ids, mask] = [value('image_embeds'), value('input_ids'), value('attention_mask')];
  const run = (body: () => void): void => inferenceMode(() => scope(body));

  test('features of pictures', () => {
    run(() => {
      const { imageEmbeds, lastHiddenState } = model.encodeImages(pictures);
      expectClose(imageEmbeds, value('image_feats'));
      expect(lastHiddenState.equal(pictures)).toBe(true);
    });
  });

  test('features of texts', () => {
    run(() => {
      const { textEmbeds, lastHiddenState } = model.encodeTexts(ids, mask);
      expectClose(lastHiddenState, value('text_output'));
      expectClose(textEmbeds.select(1, 0), value('text_feat'));
      const first = model.encodeTexts(ids, mask, { classOnly: true });
      expect(first.textEmbeds.shape).toEqual([ids.size(0), 1, 16]);
      expectClose(first.textEmbeds.select(1, 0), value('text_feat'));
    });
  });

  test('matching, by features, keys and values, and pictures that texts share', () => {
    run(() => {
      const count = ids.size(0);
      const own = arange(0, count);
      const images = cat([own, value('neg_image_index'), own]);
      const texts = cat([own, own, value('neg_text_index')]);
      const [rows, masks] = [ids.indexSelect(0, texts), mask.indexSelect(0, texts)];
      const chosen = pictures.indexSelect(0, images);
      expectClose(model.match({ imageFeatures: chosen }, rows, masks), value('itm_logits'));
      expectClose(model.match({ imageKeyValues: model.imageKeyValues(chosen) }, rows, masks), value('itm_logits'));
      const lengths = masks.sum(1).toArray() as number[];
      expectClose(model.match({ imageFeatures: chosen }, rows, undefined, { lengths }), value('itm_logits'));
      // Every picture with its own text and with the drawn one, side by side.
      const pairs = cat([own, own.add(2 * count)])
        .view(2, count)
        .transpose(0, 1)
        .flatten();
      const ordered = {
        rows: rows.indexSelect(0, pairs),
        lengths: (pairs.toArray() as number[]).map((pair) => lengths[Number(pair)] as number),
      };
      const sharedPictures = [{ keyValues: model.imageKeyValues(pictures), share: 2 }];
      const expected = value('itm_logits').indexSelect(0, pairs);
      expectClose(model.match({ sharedPictures }, ordered.rows, undefined, { lengths: ordered.lengths }), expected);
    });
  });

  test('refuses rows and lengths that do not fit', () => {
    run(() => {
      const count = ids.size(0);
      const imageFeatures = pictures.narrow(0, 0, 2);
      expect(() => model.match({ imageFeatures }, ids, mask)).toThrow(ArgumentError);
      const lengths = new Array<number>(count).fill(3);
      expect(() => model.match({ imageFeatures: pictures }, ids, undefined, { lengths: lengths.slice(1) })).toThrow(/one a row/);
      lengths[1] = 0;
      expect(() => model.match({ imageFeatures: pictures }, ids, undefined, { lengths })).toThrow(/integers from 1 to 12/);
    });
  });
});
