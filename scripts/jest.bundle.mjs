// Jest's configuration inside a bundle: there the tests are JavaScript already, so that no compiler has to travel.
import base from '../jest.config.mjs';

export default {
  ...base,
  rootDir: '..',
  testMatch: ['**/*.test.js'],
  extensionsToTreatAsEsm: [],
  transform: {},
  moduleNameMapper: { ...base.moduleNameMapper, '^(\\.{1,2}/.*)\\.ts$': '$1.js' },
};
