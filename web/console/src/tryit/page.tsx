// SPDX-License-Identifier: Apache-2.0
// Try it: a conversation in any of the gateway's languages, and every frame of it.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Session } from '../session.ts';
import { useStore } from '../store.ts';
import { hidden, veiled } from '../ui/hidden.ts';
import { clock } from '../words.ts';
import { LANGUAGES, type Frame, type Talk } from './talk.ts';

const FRAMES_MAX = 500;

interface Heard extends Frame {
  readonly id: number;
  readonly at: number;
}

function useTalk() {
  const talk = useRef<Talk | null>(null);
  const [frames, setFrames] = useState<readonly Heard[]>([]);
  const count = useRef(0);
  const hear = (frame: Frame) => setFrames((now) => [...now.slice(-FRAMES_MAX + 1), { ...frame, id: count.current++, at: Date.now() }]);
  const end = () => {
    talk.current?.end();
    talk.current = null;
  };
  useEffect(() => end, []);
  return { talk, frames, hear, end, clear: () => setFrames([]) };
}

export function TryPage({ session }: { session: Session }) {
  const [account, setAccount] = useState('msisdn::2348100000001');
  const [name, setName] = useState(LANGUAGES[0]!.name);
  const language = LANGUAGES.find((one) => one.name === name)!;
  const examples = language.examples(account);
  const [text, setText] = useState(examples[0]!.text);
  const { talk, frames, hear, end, clear } = useTalk();
  const hide = useStore(hidden);
  const log = useRef<HTMLOListElement>(null);

  useEffect(() => {
    const list = log.current;
    if (list) list.scrollTop = list.scrollHeight;
  }, [frames]);

  const choose = (next: string) => {
    end();
    setName(next);
    setText(LANGUAGES.find((one) => one.name === next)!.examples(account)[0]!.text);
  };
  const send = () => {
    if (talk.current && !language.once) return talk.current.send(text);
    end();
    talk.current = language.open(session.token(), hear, text);
    return undefined;
  };

  return (
    <section class="card wide" aria-labelledby="try-title">
      <h1 id="try-title">Try it</h1>
      <div class="tabs" role="tablist" aria-label="Languages">
        {LANGUAGES.map((one) => (
          <button key={one.name} type="button" role="tab" aria-selected={one.name === name} onClick={() => choose(one.name)}>
            {one.name}
          </button>
        ))}
      </div>
      <p>{language.about}</p>
      <p class="row">
        <label for="try-account">Account</label>
        <input id="try-account" value={account} spellcheck={false} autocomplete="off" onInput={(event) => setAccount(event.currentTarget.value.trim())} />
        {examples.map((example) => (
          <button key={example.label} type="button" class="quiet" onClick={() => setText(example.text)}>
            {example.label}
          </button>
        ))}
      </p>
      <label for="try-text">{language.once ? 'Request' : 'Message'}</label>
      <textarea
        id="try-text"
        rows={3}
        spellcheck={false}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => (event.ctrlKey || event.metaKey) && event.key === 'Enter' && send()}
      />
      <p class="row">
        <button type="button" class="main" onClick={send}>
          Send
        </button>
        <button type="button" class="quiet" onClick={end}>
          Disconnect
        </button>
        <button type="button" class="quiet" onClick={clear}>
          Clear
        </button>
        <small>Ctrl+Enter sends</small>
      </p>
      <ol class="frames" ref={log} tabIndex={0} aria-label="Frames">
        {frames.map((frame) => (
          <li key={frame.id} data-direction={frame.direction}>
            <time>{clock(frame.at)}</time>
            <span class="arrow" aria-label={frame.direction}>
              {frame.direction === 'sent' ? '→' : frame.direction === 'came' ? '←' : '·'}
            </span>
            <code>{hide ? veiled(frame.text) : frame.text}</code>
          </li>
        ))}
      </ol>
      {frames.length === 0 && <p class="soft">Frames will stand here as they go and come.</p>}
    </section>
  );
}
