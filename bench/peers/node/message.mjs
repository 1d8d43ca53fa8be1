// SPDX-License-Identifier: Apache-2.0
//
// What both Node servers send, the same text as the bare server's (bench/feed/message.c), and how they say that they
// are ready.
export function key(prefix, account) {
    return prefix + String(account).padStart(6, '0');
}

export function update(prefix, account, version) {
    const minor = String(version * 1000 + (account % 1000));
    const d = { currency: 'NGN', minor, pendingMinor: '0', ts: 1793000000000 };
    return { ev: 'upd', u: [{ k: key(prefix, account), v: `base.${version}`, d }] };
}

export function message(prefix, account, version) {
    return JSON.stringify(update(prefix, account, version));
}

export function say(http, trigger) {
    http.listen(0, '127.0.0.1', 65535, () =>
        trigger.listen(0, '127.0.0.1', () => {
            const listen = `127.0.0.1:${http.address().port}`;
            process.stdout.write(`${JSON.stringify({ listen, trigger: String(trigger.address().port), pid: process.pid })}\n`);
        }),
    );
    process.on('SIGTERM', () => process.exit(0));
}
