// The connection to the service: server-sent events, read with fetch() and not with EventSource, which cannot send the header
// that a service with a bearer token asks for.
//
// It calls onSample(sample) for each message and onState(state) when it connects, loses the connection or needs a token.

const silentMs = 15000;  // the service speaks at least every five seconds
const firstWaitMs = 500;
const longestWaitMs = 10000;
const tokenKey = 'readmodel-http-token';

// Feeds text in pieces of any size, calls back with the data of each event. Lines may end as they like, comments are passed over.
export class EventParser {
    constructor(onData) {
        this.onData = onData;
        this.rest = '';
        this.data = [];
    }

    feed(text) {
        this.rest += text;
        let end;
        while ((end = this.rest.search(/\r\n|\n|\r(?=[^])/)) >= 0) {
            const line = this.rest.slice(0, end);
            this.rest = this.rest.slice(end + (this.rest.startsWith('\r\n', end) ? 2 : 1));
            this.line(line);
        }
    }

    line(line) {
        if (line === '') {
            if (this.data.length > 0)
                this.onData(this.data.join('\n'));
            this.data = [];
        } else if (line.startsWith('data:')) {
            this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
        }
    }
}

class Refused extends Error {}

export class Stream {
    constructor(onSample, onState) {
        this.onSample = onSample;
        this.onState = onState;
        this.giveToken = null;
    }

    // The reader has entered a token.
    token(value) {
        sessionStorage.setItem(tokenKey, value);
        this.giveToken?.();
    }

    async run() {
        let wait = firstWaitMs;
        for (;;) {
            try {
                await this.connection(() => { wait = firstWaitMs; });
                throw new Error('the service closed the connection');
            } catch (error) {
                if (error instanceof Refused) {
                    await this.askForToken();
                    continue;
                }
                this.onState({name: 'reconnecting'});
                await new Promise(resolve => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
                wait = Math.min(longestWaitMs, wait * 2);
            }
        }
    }

    async askForToken() {
        const again = sessionStorage.getItem(tokenKey) !== null;
        sessionStorage.removeItem(tokenKey);
        const given = new Promise(resolve => { this.giveToken = resolve; });
        this.onState({name: 'locked', again});
        await given;
        this.onState({name: 'connecting'});
    }

    async connection(onFirst) {
        const abort = new AbortController();
        let alarm = setTimeout(() => abort.abort(), silentMs);
        const alive = () => {
            clearTimeout(alarm);
            alarm = setTimeout(() => abort.abort(), silentMs);
        };
        try {
            const token = sessionStorage.getItem(tokenKey);
            const response = await fetch('events', {
                headers: {Accept: 'text/event-stream', ...(token === null ? {} : {Authorization: `Bearer ${token}`})},
                cache: 'no-store', credentials: 'same-origin', redirect: 'error', signal: abort.signal});
            if (response.status === 401)
                throw new Refused('a token is needed');
            if (!response.ok || !response.body)
                throw new Error(`the service answered ${response.status}`);
            const parser = new EventParser(data => {
                onFirst();
                this.onSample(JSON.parse(data));
            });
            const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
            for (;;) {
                const {done, value} = await reader.read();
                if (done)
                    return;
                alive();
                parser.feed(value);
            }
        } finally {
            clearTimeout(alarm);
            abort.abort();
        }
    }
}
