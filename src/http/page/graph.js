// The lag of the last five minutes: what is remembered of it, and how it is drawn.

import {setAttribute, svgElement} from './dom.js';
import {counted, integer} from './format.js';

export const windowSeconds = 300;
const windowMs = windowSeconds * 1000;
const gapMs = 5000;       // no sample for longer than this: the line ends, and begins again
const calmEvents = 1000;  // less than a page of events is drawn low, not as a mountain
const columns = 150;      // more points than this nobody can see

export class History {
    constructor() {
        this.points = []; // [time in ms, lag in events], oldest first
    }

    add(at, lag) {
        if (lag === null || lag === undefined)
            return;
        this.points.push([at, Number(lag)]);
        this.forget(at);
    }

    // What the service remembers; what this page saw before that stays.
    insert(points, now) {
        const known = points.filter(point => point[1] !== null).map(([at, lag]) => [at, Number(lag)]);
        if (known.length === 0)
            return;
        this.points = this.points.filter(point => point[0] < known[0][0]).concat(known);
        this.forget(now);
    }

    forget(now) {
        let old = 0;
        while (old < this.points.length && this.points[old][0] < now - windowMs)
            ++old;
        if (old > 0)
            this.points.splice(0, old);
    }

    get highest() {
        return this.points.reduce((highest, point) => Math.max(highest, point[1]), 0);
    }

    describe() {
        if (this.points.length === 0)
            return 'Lag over the last five minutes: nothing is known yet';
        const highest = this.highest;
        if (highest === 0)
            return 'Lag over the last five minutes: none';
        return `Lag over the last five minutes: ${counted(this.points.at(-1)[1], 'event', 'events')} now, at most ${integer(highest)}`;
    }

    // The highest of each column, so that no peak is lost.
    thinned(now) {
        const width = windowMs / columns;
        const result = [];
        for (const [at, lag] of this.points) {
            const column = Math.floor(at / width);
            const last = result.at(-1);
            if (last && last.column === column) {
                last.lag = Math.max(last.lag, lag);
                last.end = at;
            } else {
                result.push({column, at, end: at, lag});
            }
        }
        return result.map(({at, end, lag}) => ({x: width300(now, at), lag, at, end}));
    }
}

function width300(now, at) {
    return Math.max(0, 300 - (now - at) / windowMs * 300);
}

const height = 40;
const top = 3;
const bottom = 38;

export class Graph {
    constructor(className) {
        this.area = svgElement('path', {class: 'area'});
        this.line = svgElement('path', {class: 'line'});
        this.node = svgElement('svg', {
            class: `graph ${className}`, viewBox: `0 0 300 ${height}`, preserveAspectRatio: 'none', role: 'img'},
            svgElement('path', {class: 'zero', d: `M0 ${bottom}H300`}), this.area, this.line);
    }

    draw(history, now) {
        setAttribute(this.node, 'aria-label', history.describe());
        const highest = history.highest;
        const scale = (bottom - top) / Math.max(highest, calmEvents);
        const y = lag => bottom - lag * scale;
        const runs = [];
        let before = null;
        for (const point of history.thinned(now)) {
            if (before === null || point.at - before > gapMs)
                runs.push([]);
            runs.at(-1).push(`${point.x.toFixed(1)} ${y(point.lag).toFixed(1)}`);
            before = point.end;
        }
        setAttribute(this.line, 'd', runs.map(run => `M${run.join('L')}${run.length === 1 ? 'h.1' : ''}`).join(''));
        setAttribute(this.area, 'd', highest === 0 ? '' : runs.map(run =>
            `M${run[0].split(' ')[0]} ${bottom}L${run.join('L')}V${bottom}Z`).join(''));
    }
}
