// Keeps the page as it is now: asks for it every two seconds, and puts what changed in its place. Without a script the page loads itself
// anew. The focus stays where it was, so that whoever uses the keyboard is not thrown back.
'use strict'

const EVERY = 2000
const fresh = document.getElementById('fresh')
let tag = ''

function put(next) {
  const focused = document.activeElement?.id
  for (const part of document.querySelectorAll('[data-part]')) {
    const now = next.getElementById(part.id)
    if (now && now.innerHTML !== part.innerHTML) part.replaceChildren(...now.childNodes)
  }
  if (focused && document.activeElement?.id !== focused) {
    document.getElementById(focused)?.focus({ preventScroll: true })
  }
}

function tell(text) {
  if (fresh.textContent !== text) fresh.textContent = text
  document.body.classList.toggle('stale', text !== '')
}

async function update() {
  if (document.hidden) return
  try {
    // Not '/', which would have the name and password of an address that was opened with them.
    const answer = await fetch(`${location.origin}/`, { headers: tag ? { 'If-None-Match': tag } : {}, cache: 'no-store' })
    if (answer.status === 304) return tell('')
    if (!answer.ok) return tell(`The relay answers ${answer.status}: this is how it was before.`)
    const text = await answer.text()
    tag = answer.headers.get('ETag') ?? ''
    put(new DOMParser().parseFromString(text, 'text/html'))
    tell('')
  } catch {
    tell('The relay does not answer: this is how it was before.')
  }
}

async function keep() {
  await update()
  setTimeout(keep, EVERY)
}

document.addEventListener('visibilitychange', update)
setTimeout(keep, EVERY)
