provider "aws" {
  region = var.region
}

locals {
  name = "shop-dev"

  tags = {
    environment = "dev"
    owner       = "team-shop"
    managed-by  = "terraform"
  }
}

module "network" {
  source = "../../modules/network"

  name               = local.name
  cidr_block         = "10.10.0.0/16"
  availability_zones = ["${var.region}a"]
  tags               = local.tags

  ingress = {
    https = { port = 443, cidr_blocks = ["10.0.0.0/8"] }
    debug = { port = 5005, cidr_blocks = ["10.10.0.0/16"] }
  }
}

module "service" {
  source = "../../modules/service"

  name            = local.name
  payment_api_key = var.payment_api_key
  tags            = local.tags

  queues = {
    orders = { visibility_timeout_seconds = 30, attempts = 3 }
    mails  = { visibility_timeout_seconds = 60, attempts = 3 }
  }
}
