// SPDX-License-Identifier: Apache-2.0
// The SDK is a link to ../web/client, outside of this project, so Metro is told to watch it. Only what a
// package from a registry would hold is seen of it: its own node_modules has a React of its own, for its
// tests, and an app with two Reacts fails at the first hook.
// With the SDK from a registry this file is not needed.
const { getDefaultConfig } = require('expo/metro-config');
const path = require('path');

const sdk = path.resolve(__dirname, '../web/client');
const escaped = sdk.replace(/[/\\.*+?^${}()|[\]]/g, '\\$&');

const config = getDefaultConfig(__dirname);
config.watchFolders = [...(config.watchFolders ?? []), sdk];
config.resolver.nodeModulesPaths = [path.resolve(__dirname, 'node_modules')];
config.resolver.blockList = [
  ...[config.resolver.blockList ?? []].flat(),
  new RegExp(`^${escaped}[/\\\\](node_modules|src|test|examples|scripts)[/\\\\]`),
];
module.exports = config;
