/** How a data set is named, for the help of every command that takes one. */
export const DATA_HELP = `
Data is a file, a folder or a pattern, and its format is found:
  captions.jsonl                a line a picture: { "image": "a.jpg", "caption": "…" }
  dataset_coco.json             COCO's captions, Karpathy's split or LAVIS's lists
  'cc3m/{00000..00331}.tar'     WebDataset's tars; also 'cc3m/*.tar', or their folder
  pictures/                     pictures with a .txt or .json beside each
Say more after commas: images=folder, split=train+restval, weight=2, name=…, and of
tars length=…, damaged=skip; or the format before a colon: jsonl:captions.txt.
Several are mixed, by weight.`;
