// SPDX-License-Identifier: Apache-2.0
const expo = require('eslint-config-expo/flat');

module.exports = [
  ...expo,
  { ignores: ['dist/', '.expo/', 'node_modules/'] },
  // the SDK is built by this repository, beside this project
  { rules: { 'import/no-unresolved': ['error', { ignore: ['^@balance-gateway/client'] }] } },
];
