"""What several tests share."""

from onebound.diffusion.schedules import cosine_schedule, linear_schedule, log_snr_schedule

SCHEDULES = [linear_schedule, cosine_schedule, log_snr_schedule]
