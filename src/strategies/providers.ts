// One line per provider: its definition and its Passport strategy.
export { GmailStrategy, gmail } from './gmail.js'
export { HubSpotStrategy, hubspot } from './hubspot.js'
export { NotionStrategy, notion } from './notion.js'
export { PlaidStrategy, plaid } from './plaid.js'
export { ShopifyStrategy, shopify } from './shopify.js'
export { SlackStrategy, slack } from './slack.js'
export { StripeStrategy, stripe } from './stripe.js'
export { TrelloStrategy, trello } from './trello.js'
