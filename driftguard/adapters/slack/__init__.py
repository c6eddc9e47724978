"""Alerts in Slack, through slack-sdk: a bot token, or with fewer features an incoming webhook."""
