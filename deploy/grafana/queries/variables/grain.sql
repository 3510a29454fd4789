SELECT CASE WHEN $__timeTo()::timestamptz - $__timeFrom()::timestamptz > interval '73 hours'
       THEN 'usage_day' ELSE 'usage_hour' END
