// One line per provider: its definition and its Passport strategy.
export { gmail } from './gmail.js'
export { hubspot } from './hubspot.js'
export { notion } from './notion.js'
export { plaid } from './plaid.js'
export { shopify } from './shopify.js'
export { slack } from './slack.js'
export { stripe } from './stripe.js'
export { trello } from './trello.js'
