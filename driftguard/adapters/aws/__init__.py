"""AWS, through boto3: roles for Terraform's processes, the state lock in S3, CloudTrail, and objects of the ledger."""
