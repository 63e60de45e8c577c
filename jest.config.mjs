// Tests are TypeScript and import `src/…`; what runs is the compiled `dist/…`, the very files that the package ships.
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'es6' } }],
  },
  moduleNameMapper: { '^(?:\\.{1,2}/)+src/(.*)\\.ts$': '<rootDir>/dist/$1.js' },
  // Long enough for a machine that is busy with something else.
  testTimeout: 300_000,
};
