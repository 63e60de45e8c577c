/** A thing that all six art sets have drawn: its icon's name there, and the one word that captions call it. */
export interface Concept {
  readonly icon: string;
  readonly word: string;
}

// Concrete things that look like one thing in every hand: no faces, arrows, clocks or near-twins, and nothing that is plural. The
// demo takes the first 32; `icon:word` where captions use another word than the icon's name.
const NAMES = `
  sailboat rocket automobile:car bicycle tractor helicopter castle snowman
  cactus sunflower mushroom butterfly octopus penguin elephant turtle
  snail crab banana pineapple strawberry watermelon pizza hamburger
  carrot guitar key camera umbrella soccer-ball:football crown locked:padlock

  ant bat camel chicken cow crocodile duck fox frog honeybee:bee horse koala lady-beetle:ladybug maple-leaf owl palm-tree panda
  pig rabbit rose scorpion shark shrimp snake spider tulip whale
  avocado bread cookie croissant doughnut ear-of-corn:corn eggplant hot-dog hot-pepper:chili lemon lollipop pear red-apple:apple
  taco tomato birthday-cake:cake
  airplane bus fire-engine locomotive motorcycle volcano
  bell candle dress drum hammer light-bulb lipstick microscope pencil telephone television toilet trumpet wrench
  basketball boxing-glove christmas-tree tennis:tennis-racket trophy
`;

/** The hundred concepts, in a fixed order. */
export const concepts: readonly Concept[] = NAMES.trim()
  .split(/\s+/)
  .map((entry) => {
    const [icon = '', word = icon] = entry.split(':');
    return { icon, word };
  });

/** The art sets: npm packages `@iconify-json/…`, each a different hand. */
export const artSets = ['noto', 'twemoji', 'openmoji', 'fluent-emoji-flat', 'noto-v1', 'emojione'] as const;
export type ArtSet = (typeof artSets)[number];

/** The set that no training ever sees: the unseen style. */
export const heldOutSet: ArtSet = 'emojione';
