// SPDX-License-Identifier: Apache-2.0
// The SDK is a link to ../web/client, outside of this project. So Metro is told to watch it, and that what
// it imports is this project's: it has a React of its own, for its tests, and an app with two Reacts fails
// at the first hook. With the SDK from a registry this file is not needed.
const { getDefaultConfig } = require('expo/metro-config');
const path = require('path');

const sdk = path.resolve(__dirname, '../web/client') + path.sep;
const escaped = sdk.replace(/[/\\.*+?^${}()|[\]]/g, '\\$&');
const ours = path.join(__dirname, 'package.json');

const config = getDefaultConfig(__dirname);
config.watchFolders = [...(config.watchFolders ?? []), sdk];
config.resolver.blockList = [
  ...[config.resolver.blockList ?? []].flat(),
  new RegExp(`^${escaped}(node_modules|src|test|examples|scripts)[/\\\\]`),
];
config.resolver.resolveRequest = (context, name, platform) => {
  const forSdk = context.originModulePath.startsWith(sdk) && !name.startsWith('.');
  return context.resolveRequest(forSdk ? { ...context, originModulePath: ours } : context, name, platform);
};
module.exports = config;
