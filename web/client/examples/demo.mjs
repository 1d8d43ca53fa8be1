// SPDX-License-Identifier: Apache-2.0
// Where the gateway is, and the token that `bgw serve --demo` gives away. Yours comes from your login.
export const url = process.env.BGW_URL ?? 'http://localhost:5851';
export const getToken = async () => process.env.BGW_TOKEN ?? (await (await fetch(`${url}/demo/token.json`)).json()).token;
export const accounts = process.argv.length > 2 ? process.argv.slice(2) : ['msisdn::2348100000001', 'msisdn::2348100000002'];
