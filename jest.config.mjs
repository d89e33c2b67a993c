// The specs are compiled by `tsc -b` like everything else and run as the ES modules that ship: no transform, no module map.
// `unit` is what sits beside the sources of apps and libs; `process` is test/, which starts real processes
// (scripts/test.mjs runs the two after each other, says how many files at a time, and says how long a test may take: jest takes no such setting of a project).
const shared = {
  testEnvironment: '<rootDir>/scripts/test-environment.mjs',
  transform: {},
  testPathIgnorePatterns: ['/node_modules/'],
  modulePathIgnorePatterns: ['<rootDir>/\\.harikube/'],
  injectGlobals: false,
};

/** @type {import('jest').Config} */
export default {
  projects: [
    {
      ...shared,
      displayName: 'unit',
      roots: ['<rootDir>/apps', '<rootDir>/libs'],
      testMatch: ['**/dist/**/*.spec.js'],
    },
    {
      ...shared,
      displayName: 'process',
      roots: ['<rootDir>/test'],
      testMatch: ['**/dist/**/*.spec.js'],
    },
  ],
  reporters: ['default', '<rootDir>/scripts/tally-reporter.mjs'],
};
