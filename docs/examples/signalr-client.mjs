// SPDX-License-Identifier: Apache-2.0
//
// How a stock SignalR client stays connected (docs/migration.md): it tries again for as long as the
// app runs, at random moments, so that a thousand clients do not come back at once, and it says
// anew what it wants to hear, for a connection remembers nothing of the one before. Copy it into an
// app; it needs `@microsoft/signalr` 3.1 or later and nothing else. Who uses it: apps, and
// tests/integration/test_78_api_documents.py.

const LEAST_MS = 500;
const MOST_MS = 20_000;

/** Full jitter between half a second and a ceiling that doubles up to 20 s; never gives up. */
export function retryDelay(attempt, random = Math.random) {
    const ceiling = Math.min(MOST_MS, 2 * LEAST_MS * 2 ** Math.min(attempt, 10));
    return LEAST_MS + random() * (ceiling - LEAST_MS);
}

/** For `withAutomaticReconnect`. Without it the stock schedule ends after 42 s, without jitter. */
export const retryForever = {
    nextRetryDelayInMilliseconds: ({ previousRetryCount }) => retryDelay(previousRetryCount),
};

// Clients before 5.0 say the status' name, later ones its number.
const refused = ({ message }) => /Status code '40[13]'|\b(Unauthorized|Forbidden)\b/.test(message);

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Keeps `connection` (built with `.withAutomaticReconnect(retryForever)`) subscribed to `accounts`,
 * a Set that the app may change before it calls `resubscribe()` of what this returns.
 *
 * onRefused(error): the gateway named accounts that this user may not see; the others are subscribed.
 * onStale(): the connection is gone for the moment: show every balance as old.
 * onEnded(error): the gateway does not want this client again, or the app called stop(). Sign in anew
 *   before the next start. Not called while retries go on.
 */
export function stayConnected(connection, accounts, { onRefused = () => {}, onStale = () => {}, onEnded = () => {} } = {}) {
    let wanted = true;

    async function resubscribe() {
        const ids = [...accounts];
        for (let at = 0; at < ids.length; at += 1000) { // a call may name 1,000
            try {
                await connection.invoke("SubscribeMultipleBalances", ids.slice(at, at + 1000));
            } catch (error) {
                if (connection.state !== "Connected") return; // onreconnected comes here again
                onRefused(error);
            }
        }
    }

    // The stock client never retries a first start by itself.
    async function start() {
        for (let attempt = 0; wanted; attempt++) {
            try {
                await connection.start();
                return await resubscribe();
            } catch (error) {
                if (refused(error)) { // the token: waiting does not make it better
                    wanted = false;
                    return onEnded(error);
                }
                await pause(retryDelay(attempt));
            }
        }
    }

    async function stop() {
        wanted = false;
        await connection.stop();
    }

    connection.onreconnecting(onStale);
    connection.onreconnected(resubscribe);
    connection.onclose((error) => {
        wanted = false;
        onStale();
        onEnded(error);
    });
    return { start, stop, resubscribe };
}
