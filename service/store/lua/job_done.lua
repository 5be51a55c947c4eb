-- job_done(queue, id, job, tries, claim, aborts): the end of a job as arq has it: its text, its tries, its claim and its
-- places in the queue and among those to be aborted go. All but the id are keys.
local function job_done(queue, id, job, tries, claim, aborts)
  redis.call('DEL', job, tries, claim)
  redis.call('ZREM', queue, id)
  redis.call('ZREM', aborts, id)
end
