// SPDX-License-Identifier: Apache-2.0
// node examples/eventsource.mjs [ACCOUNT…]: Server-Sent Events. In a browser EventSource is there already.
import { EventSource } from 'eventsource';
import { accounts, getToken, url } from './demo.mjs';

const query = new URLSearchParams(accounts.map((account) => ['account', account]));
query.set('access_token', await getToken()); // EventSource cannot set a header
const stream = new EventSource(`${url}/v1/stream?${query}`);
stream.addEventListener('upd', ({ data }) => {
  const { k, v, d } = JSON.parse(data);
  console.log(k, `${d.minor} ${d.currency} (minor units)`, v);
});
stream.addEventListener('state', ({ data }) => console.log('state', data));
stream.addEventListener('bye', ({ data }) => JSON.parse(data).code >= 3500 && stream.close()); // else it comes back by itself
