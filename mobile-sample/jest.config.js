// SPDX-License-Identifier: Apache-2.0
// The SDK is a link to outside of this project: what it needs, React above all, it gets from this project's
// packages, as in metro.config.js.
module.exports = {
  preset: 'jest-expo',
  testMatch: ['<rootDir>/tests/**/*.test.ts?(x)'],
  setupFiles: ['<rootDir>/tests/setup.ts'],
  testTimeout: 30000, // the first test compiles the app
  modulePaths: ['<rootDir>/node_modules'],
  // renderRouter() stops time; promises go on
  fakeTimers: { doNotFake: ['queueMicrotask', 'nextTick'] },
  moduleNameMapper: {
    '^react$': '<rootDir>/node_modules/react',
    '^react/(.*)$': '<rootDir>/node_modules/react/$1',
  },
};
