// Nodes are made once and then kept: an update touches only what differs, so that focus, selection and what is open stay. Text is
// always text: no string ever becomes markup.

const svgSpace = 'http://www.w3.org/2000/svg';

export function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes))
        node.setAttribute(attribute, value);
    node.append(...children);
    return node;
}

export function svgElement(name, attributes = {}, ...children) {
    const node = document.createElementNS(svgSpace, name);
    for (const [attribute, value] of Object.entries(attributes))
        node.setAttribute(attribute, value);
    node.append(...children);
    return node;
}

export function shape() {
    return svgElement('svg', {class: 'shape', 'aria-hidden': 'true'}, svgElement('use'));
}

export function setShape(svg, name) {
    setAttribute(svg.firstElementChild, 'href', `#shape-${name}`);
}

export function setText(node, text) {
    if (node.textContent !== text)
        node.textContent = text;
}

// null takes the attribute away.
export function setAttribute(node, name, value) {
    if (value === null) {
        if (node.hasAttribute(name))
            node.removeAttribute(name);
    } else if (node.getAttribute(name) !== String(value)) {
        node.setAttribute(name, value);
    }
}

export function show(node, visible) {
    if (node.hidden === visible)
        node.hidden = !visible;
}
