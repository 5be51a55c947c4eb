-- Takes runs and steps that ran out from the lists they are found by; what is still there stays.
--
-- ARGV  1 'run' or 'step'  2 agent whose list it was, or ''  3 … ids
-- Reply {'ok'}
-- include: run_end
for i = 3, #ARGV do
  if ARGV[1] == 'run' and redis.call('EXISTS', K.run(ARGV[i])) == 0 then run_unlisted(ARGV[2], ARGV[i]) end
  if ARGV[1] == 'step' and redis.call('EXISTS', K.step(ARGV[i])) == 0 then step_unlisted(ARGV[2], ARGV[i]) end
end
return {'ok'}
