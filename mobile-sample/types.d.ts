// SPDX-License-Identifier: Apache-2.0
// What Expo's bundler replaces by their values: https://docs.expo.dev/guides/environment-variables/
declare const process: {
  readonly env: {
    readonly EXPO_PUBLIC_REALTIME_BASE?: string;
    readonly EXPO_PUBLIC_LEDGER_BASE?: string;
    readonly EXPO_PUBLIC_CURRENCY?: string;
  };
};
