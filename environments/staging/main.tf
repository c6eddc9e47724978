provider "aws" {
  region = var.region
}

locals {
  name = "shop-staging"

  tags = {
    environment = "staging"
    owner       = "team-shop"
    managed-by  = "terraform"
  }
}

module "network" {
  source = "../../modules/network"

  name               = local.name
  cidr_block         = "10.20.0.0/16"
  availability_zones = ["${var.region}a", "${var.region}b"]
  tags               = local.tags

  ingress = {
    https = { port = 443, cidr_blocks = ["10.0.0.0/8"] }
  }
}

module "service" {
  source = "../../modules/service"

  name            = local.name
  payment_api_key = var.payment_api_key
  tags            = local.tags

  log_retention_days = 30

  queues = {
    orders = { visibility_timeout_seconds = 30, attempts = 5 }
    mails  = { visibility_timeout_seconds = 60, attempts = 5 }
  }
}
