// SPDX-License-Identifier: Apache-2.0
// What a phone has and Node has not: the packages' own stand-ins, and a Keychain that is a map.
jest.mock('@react-native-async-storage/async-storage', () =>
  jest.requireActual('@react-native-async-storage/async-storage/jest/async-storage-mock'),
);

type MockListener = (state: object) => void;

jest.mock('@react-native-community/netinfo', () => {
  const listeners = new Set<MockListener>();
  return {
    __esModule: true,
    default: {
      addEventListener(call: MockListener) {
        listeners.add(call);
        return () => listeners.delete(call);
      },
    },
    /** For tests: the system's word on the network. */
    tell: (isConnected: boolean) => listeners.forEach((call) => call({ isConnected })),
  };
});

jest.mock('expo-secure-store', () => {
  const items = new Map<string, string>();
  return {
    getItemAsync: async (key: string) => items.get(key) ?? null,
    setItemAsync: async (key: string, value: string) => void items.set(key, value),
    deleteItemAsync: async (key: string) => void items.delete(key),
  };
});

// an own object, so that a test can put its gateway in the place of the real one
jest.mock('@balance-gateway/client', () => ({ __esModule: true, ...jest.requireActual('@balance-gateway/client') }));
