variable "region" {
  description = "The AWS region everything runs in."
  type        = string
  default     = "eu-central-1"
}

variable "payment_api_key" {
  description = "The key for the payment provider; given from outside as TF_VAR_payment_api_key, never committed."
  type        = string
  sensitive   = true
}
